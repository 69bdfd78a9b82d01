"""How much mail goes to which site, and how: what rules say, and what replies have led to."""
