"""The PostgreSQL engine: any number of daemons on one database, where every decision is made under the rows' locks.

`engine.PostgresStore` needs the driver asyncpg, the extra `[postgres]`; `address` does not, so nothing is imported here.
"""
