"""What RocketMQ 5.3.3 wrote: messages, as its `MessageDecoder` does, frames, and what it tells of itself."""

__all__ = [
    "BATCH",
    "CLUSTER",
    "LZ4",
    "OLDER",
    "OVER_IPV4",
    "OVER_IPV6",
    "ROUTE",
    "STATS",
    "UNKNOWN",
    "WELCOME",
    "ZLIB",
    "ZSTD",
]

_PROPERTIES = (
    "00466772c3bcc39f6501e286922001206102554e49515f4b455901374630303030303130303031303030303030303030"
    "3030303030303030303041025441475301706c6163656402"
)
_BEGIN = "daa320a7000000000000000300000007000000000000002a0000000000001267"
_IPV4 = "0000018bcfe568010a000001000004d20000018bcfe568020a00000100002a9f"
_IPV6 = (
    "0000018bcfe5680120010db8000000000000000000000001000004d20000018bcfe5680220010db800000000000000000000000100002a9f"
)
_MIDDLE = "000000020000000000000005"
_TOPIC = "066f7264657273"

OVER_IPV4 = bytes.fromhex(f"000000ac {_BEGIN} 00000000 {_IPV4} {_MIDDLE} 0000000568616c6c6f {_TOPIC} {_PROPERTIES}")
OVER_IPV6 = bytes.fromhex(f"000000c4 {_BEGIN} 00000030 {_IPV6} {_MIDDLE} 0000000568616c6c6f {_TOPIC} {_PROPERTIES}")

#: Forty times "hallo ".
ZLIB = bytes.fromhex(
    f"000000b8 {_BEGIN} 00000301 {_IPV4} {_MIDDLE} 00000011785ecb48ccc9c957c8183124004bef5781 {_TOPIC} {_PROPERTIES}"
)
LZ4 = bytes.fromhex(
    f"000000c6 {_BEGIN} 00000101 {_IPV4} {_MIDDLE} "
    f"0000001f04224d18607073100000006f68616c6c6f200600d250616c6c6f2000000000 {_TOPIC} {_PROPERTIES}"
)
ZSTD = bytes.fromhex(
    f"000000c0 {_BEGIN} 00000201 {_IPV4} {_MIDDLE} "
    f"0000001928b52ffd00586c00003068616c6c6f200100e750a508010000 {_TOPIC} {_PROPERTIES}"
)

#: "one" and "zwei", each with `WAIT`, and its number as "n".
BATCH = bytes.fromhex(
    "00000027000000000000000000000000000000036f6e65000e574149540174727565026e013102"
    "00000028000000000000000000000000000000047a776569000e574149540174727565026e013202"
)

#: Answers, without the size that stands before them.
WELCOME = (
    b'\x00\x00\x00\xa6{"code":0,"extFields":{"IS_SUPPORT_HEART_BEAT_V2":"true","IS_SUB_CHANGE":"true"},"flag":1,'
    b'"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}'
)
UNKNOWN = (
    b'\x00\x00\x00\x8a{"code":3,"flag":1,"language":"JAVA","opaque":7,"remark":" request type 106 not supported",'
    b'"serializeTypeCurrentRPC":"JSON","version":479}'
)

ROUTE = (
    b'{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:30034"},"brokerName":"broker-a","cluster":"DefaultCluster",'
    b'"enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,'
    b'"readQueueNums":3,"topicSysFlag":0,"writeQueueNums":2}]}'
)
OLDER = ROUTE.replace(b'{"0":', b"{0:")
CLUSTER = (
    b'{"brokerAddrTable":{"broker-a":{"brokerAddrs":{0:"127.0.0.1:30034"},"brokerName":"broker-a",'
    b'"cluster":"DefaultCluster","enableActingMaster":false}},"clusterAddrTable":{"DefaultCluster":["broker-a"]}}'
)
#: Of the consumers of a topic.
STATS = (
    b'{"consumeTps":0.0,"offsetTable":{{"brokerName":"broker-a","queueId":1,"topic":"t1"}:{"brokerOffset":436,'
    b'"consumerOffset":0,"lastTimestamp":0,"pullOffset":0},{"brokerName":"broker-a","queueId":0,"topic":"t1"}:'
    b'{"brokerOffset":7,"consumerOffset":0,"lastTimestamp":0,"pullOffset":0}}}'
)
