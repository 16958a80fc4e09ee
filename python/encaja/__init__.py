"""encaja moves a Bitrix24 portal from the cloud to its own hosts, and keeps them."""
