"""A participant's node: speaks the Dataspace Protocol, keeps agreements, turns them into permits, hosts the sandbox."""
