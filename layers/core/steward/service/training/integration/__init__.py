"""From a commit to the project's code and configuration: fetched, tested, rehearsed, activated."""
