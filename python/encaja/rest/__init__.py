"""The portal's REST interface: client, limits, tokens, errors."""
