#!/bin/sh
# The report is opened in a real browser by the tests. Install Debian's where it is missing and we may;
# otherwise those tests skip and say so.
command -v chromedriver >/dev/null 2>&1 && command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing chromium and chromium-driver for the browser tests ..."
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    chromium chromium-driver) >/dev/null 2>&1 && exit 0
fi
echo "No chromium with chromedriver: the browser tests will be skipped (Debian: apt-get install chromium chromium-driver)."
exit 0
