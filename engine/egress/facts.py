"""The facts by which a message is known to be a tenant's."""

TENANT, CAMPAIGN = "tenant.name", "tenant.campaign"
