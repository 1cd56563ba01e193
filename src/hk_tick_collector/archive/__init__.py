"""Finished days as verified, signed files that any engine reads: Parquet, a book of the other tables, a certificate.

Start reading at layout.py, which names the files. day.py archives one day, in this order: ticks.py writes the Parquet
file, `store.book` the book, certificate.py says what was archived, sshsig.py signs it, chain.py links the certificates.
places.py is where the files lie; remote.py reads those of an object store in place. Nothing here waits, retries or
logs.
"""
