"""Official layouts of the built-in datasets; each function plans the files of one."""
