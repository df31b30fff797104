"""Where models come from: sources that know more of them than files and folders do."""
