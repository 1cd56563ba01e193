"""Ticks as Arrow record batches, read from day files and from archived days. Needs the extra `data`.

Start reading at columns.py, which declares the columns. day_file.py and parquet_file.py read the same columns from the
two kinds of file; ahead.py reads the next batch in a second thread.
"""
