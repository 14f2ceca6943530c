"""Who gets in, how often, and by what name: connections, requests, keys, rates, and those who probe."""
