"""ZeroMQ under trio: the links that join a lane's legs, and what travels on them."""
