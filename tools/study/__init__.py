"""`make study`: the lectures' networks trained with several seeds, attacked and measured."""
