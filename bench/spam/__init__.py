"""How well the spam filter tells spam from ham, beside other filters on the same mail."""
