"""The models of a replica: what the user declared, where it lies, which versions there are, and their files here.

`declaration` reads the `models` field; `sources` list files on disk or in an object store; `layout` tells models and
versions apart; `catalog` knows what there is and what is fit to serve; `repository` keeps all of it up to date and
hands out folders; `desk` does so for workers.
"""
