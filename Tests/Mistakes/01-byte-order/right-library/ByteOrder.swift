import Course
import Foundation

func hostIsLittleEndian() -> Bool { UInt16(1).littleEndian == 1 }
func hostToNetwork16(_ value: UInt16) -> UInt16 { value.bigEndian }
func hostToNetwork32(_ value: UInt32) -> UInt32 { value.bigEndian }
func hostToNetwork64(_ value: UInt64) -> UInt64 { value.bigEndian }
func networkToHost16(_ value: UInt16) -> UInt16 { .init(bigEndian: value) }
func networkToHost32(_ value: UInt32) -> UInt32 { .init(bigEndian: value) }
func networkToHost64(_ value: UInt64) -> UInt64 { .init(bigEndian: value) }
