"""One suite that every binding passes on its real broker: promises, faults and a ledger."""
