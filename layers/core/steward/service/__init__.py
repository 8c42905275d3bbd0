"""Use cases: a command and ports in, a result out. Domains never import each other's service."""
