"""The gate before a model: is it good enough, and no worse than the champion on the same rows?

checks    one judgement per declared check
gate      all of them together
"""
