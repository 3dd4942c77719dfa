// in ByteOrder.swift
import Course
