"""The federated catalogue (联邦目录): what the other participants offer us, kept here and searched at once.

`roster` says whose catalogues those are, `states` where each stands, `steps` what to ask next and what follows from the
answer, `pages` and `datasets` read what came, `asking` asks, `crawler` does one step at a time, `worker` many at once.

A crawl reads a catalogue page by page. A dataset that is new or has changed is shown as soon as its page was read; one
that is gone disappears when the last page was read, and not before: each crawl has a number, its *generation*, that
marks what it saw. Each page and the address of the next are written down in one transaction, so a crawl that was
interrupted goes on at the page after.
"""
