import java.io.IOException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DistributedFileSystem;

/**
 * What frameworks do with Hadoop's client, for hadoop-frameworks.ts.
 *
 *   Frameworks URI loop PATH N          N times 20,000 bytes and an hflush, in blocks of 1 MiB, says "flushed I" after each, closes, checks
 *   Frameworks URI flink-write PATH     writes, persists as Flink does, says "persisted LENGTH", goes on until it is killed
 *   Frameworks URI flink-resume PATH LENGTH   recovers at LENGTH as Flink does, appends, commits by a rename, checks
 *
 * The byte at offset i of a file is always pattern(i).
 */
public final class Frameworks {
  private static final int STEP = 20_000;
  private static final int LEASE_TIMEOUT_MS = 100_000;
  private static final int LEASE_POLL_MS = 500;
  private static DistributedFileSystem fs;

  public static void main(String[] args) throws Exception {
    Configuration conf = new Configuration();
    conf.set("fs.defaultFS", args[0]);
    fs = (DistributedFileSystem) FileSystem.get(conf);
    Path path = new Path(args[2]);
    switch (args[1]) {
      case "loop": loop(path, Integer.parseInt(args[3])); break;
      case "flink-write": flinkWrite(path); break;
      case "flink-resume": flinkResume(path, Long.parseLong(args[3])); break;
      default: throw new IllegalArgumentException(args[1]);
    }
    System.out.println("ok");
    System.exit(0);
  }

  static byte[] bytes(long from, int count) {
    byte[] data = new byte[count];
    for (int i = 0; i < count; i++) data[i] = (byte) ((from + i) * 31 + ((from + i) >> 8));
    return data;
  }

  /** Reads a file to its end, checks every byte, and returns how many there were. */
  static long verified(FileSystem fs, Path path) throws IOException {
    try (FSDataInputStream in = fs.open(path)) {
      byte[] buffer = new byte[65536];
      long offset = 0;
      for (int count; (count = in.read(buffer)) >= 0; offset += count) {
        byte[] wanted = bytes(offset, count);
        for (int i = 0; i < count; i++) {
          if (buffer[i] != wanted[i]) throw new AssertionError(path + " differs at " + (offset + i));
        }
      }
      return offset;
    }
  }

  static void equal(long found, long wanted, String what) {
    if (found != wanted) throw new AssertionError(what + ": found " + found + ", wanted " + wanted);
  }

  private static void loop(Path path, int steps) throws Exception {
    try (FSDataOutputStream out = fs.create(path, true, 4096, (short) 3, 1 << 20)) {
      for (int step = 0; step < steps; step++) {
        out.write(bytes((long) step * STEP, STEP));
        out.hflush();
        System.out.println("flushed " + (step + 1));
        Thread.sleep(50);
      }
    }
    equal(verified(fs, path), (long) steps * STEP, path + " length");
  }

  /** As HadoopRecoverableFsDataOutputStream.persist: hflush, hsync, remember the position. */
  private static void flinkWrite(Path path) throws Exception {
    FSDataOutputStream out = fs.create(path, true);
    out.write(bytes(0, 70_001));
    out.hflush();
    out.hsync();
    System.out.println("persisted " + out.getPos());
    for (long from = out.getPos(); ; from += 3000) {
      out.write(bytes(from, 3000));
      out.hflush();
      System.out.println("beyond " + (from + 3000));
      Thread.sleep(20);
    }
  }

  private static void awaitLease(Path path) throws Exception {
    long deadline = System.currentTimeMillis() + LEASE_TIMEOUT_MS;
    fs.recoverLease(path);
    while (!fs.isFileClosed(path)) {
      if (System.currentTimeMillis() > deadline) throw new AssertionError(path + " stays open");
      Thread.sleep(LEASE_POLL_MS);
    }
  }

  private static void flinkResume(Path path, long length) throws Exception {
    awaitLease(path);
    if (!fs.truncate(path, length)) awaitLease(path);
    FSDataOutputStream out = fs.append(path);
    equal(out.getPos(), length, "position of the append");
    out.write(bytes(length, 12_345));
    out.hflush();
    out.hsync();
    out.close();
    equal(fs.getFileStatus(path).getLen(), length + 12_345, "length to commit");
    Path target = path.suffix("-committed");
    if (!fs.rename(path, target)) throw new AssertionError("the commit was refused");
    equal(verified(fs, target), length + 12_345, target + " length");
  }
}
