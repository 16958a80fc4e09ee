"""How long a step and the whole pass will take, from earlier passes and what is known of the link."""
