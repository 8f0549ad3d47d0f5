// Command sub has only tests inside of it.
package main

func main() {}
