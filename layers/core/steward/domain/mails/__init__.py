"""Mails to people: plain text, 78 characters wide, each with what to do next.

SNS sends plain text only, with an ASCII subject of at most 100 characters. Buckets are private
and presigned links die with their session, so a mail names the command that opens a report.
"""
