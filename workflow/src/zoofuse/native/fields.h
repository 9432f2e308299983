// A struct that Python fills through ctypes, and the library's own description of it, from one list
// of its fields. bindings.py compares the description with the ctypes structure at load.
//
//     #define POINT(FIELD) FIELD(double, x) FIELD(const float*, values)
//     SHARED_STRUCT(Point, POINT)
//
// describes itself as "Point 16\nx 0 8 float64\nvalues 8 8 float32*\n": the size of the whole, then
// name, offset, size and kind of each field. One such struct per library. NVRTC, the compiler for GPUs, has
// no standard library and leaves the description to the CPU's compiler.

#pragma once

#ifndef __CUDACC_RTC__
#include <cstddef>
#include <string>
#include <type_traits>

namespace {

// In NumPy's words: int64, float32* (whether const or not), float32*[2].
template <class T> std::string kind() {
    if constexpr (std::is_array_v<T>) {
        return kind<std::remove_extent_t<T>>() + "[" + std::to_string(std::extent_v<T>) + "]";
    } else if constexpr (std::is_pointer_v<T>) {
        return kind<std::remove_cv_t<std::remove_pointer_t<T>>>() + "*";
    } else {
        static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>, "no kind for this");
        const char* name = std::is_floating_point_v<T> ? "float" : std::is_signed_v<T> ? "int" : "uint";
        return name + std::to_string(8 * sizeof(T));
    }
}

template <class T> std::string described(const char* name, size_t offset) {
    return name + (" " + std::to_string(offset)) + " " + std::to_string(sizeof(T)) + " " + kind<T>() + "\n";
}

}  // namespace
#endif

#define DECLARE_FIELD(Type, name) Type name;
#ifdef __CUDACC_RTC__
#define SHARED_STRUCT(Name, FIELDS)                                                            \
    struct Name {                                                                              \
        FIELDS(DECLARE_FIELD)                                                                  \
    };
#else
#define DESCRIBE_FIELD(Type, name) +described<Type>(#name, offsetof(Shared, name))
#define SHARED_STRUCT(Name, FIELDS)                                                            \
    struct Name {                                                                              \
        FIELDS(DECLARE_FIELD)                                                                  \
    };                                                                                         \
    extern "C" const char* zoofuse_fields() {                                                  \
        typedef Name Shared;                                                                   \
        static const std::string text =                                                        \
            #Name " " + std::to_string(sizeof(Shared)) + "\n" FIELDS(DESCRIBE_FIELD);          \
        return text.c_str();                                                                   \
    }
#endif
