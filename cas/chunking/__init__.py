"""Where a file is cut into chunks: along its own structure, or by FastCDC where none is known."""
