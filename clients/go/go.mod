module detect

go 1.19
