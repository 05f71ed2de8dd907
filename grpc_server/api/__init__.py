"""The services: what a request holds, what an answer says, for each protocol that is spoken."""
