"""Run the command line as `python -m paretobench`."""

from paretobench.cli import main

if __name__ == "__main__":
    main()
