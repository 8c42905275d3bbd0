"""Who is written to about which event, by subject. The texts are in ``domain.mails``."""
