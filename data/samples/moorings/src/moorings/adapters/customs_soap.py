"""Declarations to the customs office, over SOAP. Kept for the two marinas that still need it."""

import urllib2
from xml.sax.saxutils import escape

ENVELOPE = """<?xml version="1.0"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
  <soap:Body>%s</soap:Body>
</soap:Envelope>"""


class CustomsClient:
    def __init__(self, url, certificate=None):
        self.url = url
        self.certificate = certificate

    def declare(self, vessel, flag, persons):
        body = "<declare><vessel>%s</vessel><flag>%s</flag><persons>%d</persons></declare>" % (
            escape(vessel), escape(flag), persons)
        request = urllib2.Request(self.url, ENVELOPE % body, {"Content-Type": "text/xml"})
        try:
            answer = urllib2.urlopen(request, timeout=60).read()
        except urllib2.HTTPError, error:
            print "customs said", error.code
            raise
        return answer
