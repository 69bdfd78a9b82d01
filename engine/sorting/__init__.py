"""Sieve scripts at work: they sort the mail of accounts when it comes, and ManageSieve changes them."""
