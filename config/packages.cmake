# Debian packages: cmake --preset package && cmake --build --preset package && cd build/package && cpack.
# Or config/package, which does that, and checks them.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME seqpush)
set(CPACK_PACKAGE_CONTACT "seqpush maintainers <maintainers@users.noreply.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL broker tool library development)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/client)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
  GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

# What every package has in its documentation, as Debian wants it.
set(package_docs ${PROJECT_BINARY_DIR}/package_docs)
file(READ ${PROJECT_SOURCE_DIR}/LICENSE license)
string(REGEX REPLACE "\n\n" "\n.\n" license "${license}")
string(REGEX REPLACE "\n" "\n " license "${license}")
file(WRITE ${package_docs}/copyright
  "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
  "Upstream-Name: seqpush\n\nFiles: *\nCopyright: 2026 the seqpush authors\nLicense: MPL-2.0\n ${license}\n")
file(WRITE ${package_docs}/changelog
  "seqpush (${PROJECT_VERSION}) unstable; urgency=medium\n\n"
  "  * See CHANGELOG.md in the source.\n\n"
  " -- ${CPACK_PACKAGE_CONTACT}  Sun, 22 Nov 2026 00:00:00 +0000\n")
execute_process(COMMAND gzip -9nf ${package_docs}/changelog)

function(debian_package component name section summary description)
  string(TOUPPER ${component} upper)
  install(FILES ${package_docs}/copyright ${package_docs}/changelog.gz
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} COMPONENT ${component} EXCLUDE_FROM_ALL)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${summary}\n${description}" PARENT_SCOPE)
endfunction()

debian_package(broker seqpushd net "ZeroMQ broker for ordered push"
  "Many publishers push numbered messages for many clients, in any order. The
broker puts the messages of each client back in order and sends them on, over
several workers in parallel.")
set(CPACK_DEBIAN_BROKER_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_BROKER_PACKAGE_SUGGESTS seqpush)
set(CPACK_DEBIAN_BROKER_PACKAGE_CONTROL_EXTRA
  ${PROJECT_SOURCE_DIR}/config/debian/postinst ${PROJECT_SOURCE_DIR}/config/debian/prerm
  ${PROJECT_SOURCE_DIR}/config/debian/postrm ${PROJECT_SOURCE_DIR}/config/debian/conffiles)

debian_package(tool seqpush net "tool of the broker for ordered push"
  "Pushes, receives, and looks into seqpushd, a ZeroMQ broker for ordered push.")

debian_package(library libseqpush0 libs "client library of the broker for ordered push"
  "Publishers and receivers for seqpushd, a ZeroMQ broker for ordered push. The
library batches, retries, acknowledges, and attaches again by itself.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/config/debian/triggers)

debian_package(development libseqpush-dev libdevel
  "client library of the broker for ordered push (development)"
  "Headers, the static library, and what pkg-config and CMake need to build
publishers and receivers for seqpushd; and the header that ordering policies of
one's own are built against.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libseqpush0 (= ${PROJECT_VERSION}), libzmq3-dev, \
libprotobuf-c-dev, libsodium-dev")

include(CPack)
