"""Files of buckets and web servers, mirrored into the user's cache before anything reads them.

An address such as ``s3://bucket/images`` stands for one folder of the cache
(:mod:`audit.remote.addresses`), which holds what the store lists (:mod:`audit.remote.mirror`): of
what was fetched the bytes, of the rest files of the right size, name and stamp that nobody may
read. So readers list it like any folder, and only what an audit needs is fetched.
"""
