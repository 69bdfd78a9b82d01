"""How much mail each site is sent, and in what manner: the rules, the rates, what is learnt of sites and of replies."""
