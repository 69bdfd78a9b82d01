"""How much mail each site is sent, and in what manner: the rules, the rates, and what is learnt of sites."""
