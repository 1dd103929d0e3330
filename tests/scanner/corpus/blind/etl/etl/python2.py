# syntax-error: written for Python 2
import urllib2


def fetch(url):
    print "fetching", url
    return urllib2.urlopen(url).read()
