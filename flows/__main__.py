"""``python -m flows``: the command line."""

if __name__ == "__main__":
    from flows.cli import main

    main()
