// A package in miniature for the tests of what shows lessons: it is read, never built.
