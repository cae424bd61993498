#!/bin/sh
# What the tests run against besides Python: a real browser for the report, a real PostgreSQL for the store. Install
# Debian's where one is missing and we may; otherwise the tests that need it skip and say so. axe-core, which checks the
# report's accessibility, comes from npm where that is there.
axe="$(dirname "$0")/../.venv/axe"
if [ -d "$(dirname "$axe")" ] && [ ! -d "$axe/node_modules/axe-core" ] && command -v npm >/dev/null 2>&1; then
  timeout 60 npm install --no-save --no-audit --no-fund --ignore-scripts --prefix "$axe" axe-core@4.14.1 >/dev/null 2>&1 \
    || echo "axe-core could not be installed, so the test of accessibility will be skipped."
fi
postgres=$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)
missing=""
command -v chromedriver >/dev/null 2>&1 && command -v chromium >/dev/null 2>&1 || missing="chromium chromium-driver"
[ -n "$postgres" ] || missing="$missing postgresql"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing for the tests: $missing ..."
  # shellcheck disable=SC2086  # a list
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing) \
    >/dev/null 2>&1 && exit 0
fi
echo "Missing, so some tests will be skipped (Debian: apt-get install $missing)."
exit 0
