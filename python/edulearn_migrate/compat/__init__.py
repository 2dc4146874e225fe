"""The classes of the tool that this one replaces, with their methods, arguments and results."""
