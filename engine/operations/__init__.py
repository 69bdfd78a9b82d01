"""What operators do, apart from how they say it: the commands and the API call the same functions."""
