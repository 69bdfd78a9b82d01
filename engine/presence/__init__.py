"""A domain's presence in the DNS: what there should be, by our configuration, and what there is."""
