"""python -m ablations: the command line where no script is installed."""

from ablations.cli import main

if __name__ == "__main__":
    main()
