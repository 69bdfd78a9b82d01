"""Handing messages on to other servers, by SMTP or LMTP: what the stages that do so share."""
