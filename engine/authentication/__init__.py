"""Who answers for a message: the signatures, policies and addresses that say so."""
