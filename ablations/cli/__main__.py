"""python -m ablations.cli"""

from ablations.cli import main

if __name__ == "__main__":
    main()
