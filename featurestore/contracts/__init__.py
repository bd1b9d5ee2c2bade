"""The gate before every publish: what a chunk must satisfy, what was found, and where the refused rows go.

    verdict      what a gate says of a chunk, with exact counts
    gate         judges a chunk: declared types, keys and times always, a view's contract when it has one
    declared     what holds of every chunk, contract or not
    inspection   whether a pandera model can be a contract, and the columns it looks at
    model        the one module that imports pandera
    digest       the meaning of a contract as a digest
    reference    a contract's name, and back
    waiver       which refused rows and checks a person let through
    quarantine   the refused rows on disk, with their reasons

Nothing is imported here: pandera takes a second to load, and only views with a contract need it.
"""
