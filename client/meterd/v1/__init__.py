"""The wire contract `meterd.v1`, generated from its protos: messages, enums and stubs."""
