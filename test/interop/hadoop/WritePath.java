import java.io.IOException;
import java.io.InputStream;
import java.util.EnumSet;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CreateFlag;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.client.HdfsDataOutputStream;
import org.apache.hadoop.ipc.RemoteException;

/**
 * The write path through Hadoop's own client, for hadoop-writers.ts.
 *
 *   WritePath URI suite               append, truncate, concat and their refusals
 *   WritePath URI hold PATH BYTES     writes and flushes, says "flushed", and stays until it is killed
 *   WritePath URI grow PATH BYTES N   N times BYTES with an hsync each, says "grown I" after each
 *   WritePath URI recover PATH BYTES  recoverLease until the file is closed with at least BYTES, then appends
 *   WritePath URI check PATH BYTES    the file has BYTES bytes, the right ones
 *
 * The byte at offset i of a file is always pattern(i), so every reader can tell what it should see.
 */
public final class WritePath {
  private static DistributedFileSystem fs;

  public static void main(String[] args) throws Exception {
    Configuration conf = new Configuration();
    conf.set("fs.defaultFS", args[0]);
    conf.setInt("dfs.client.socket-timeout", 20000);
    fs = (DistributedFileSystem) FileSystem.get(conf);
    switch (args[1]) {
      case "suite": suite(conf); break;
      case "hold": hold(new Path(args[2]), Integer.parseInt(args[3])); break;
      case "grow": grow(new Path(args[2]), Integer.parseInt(args[3]), Integer.parseInt(args[4])); break;
      case "recover": recover(new Path(args[2]), Integer.parseInt(args[3])); break;
      case "check": check(new Path(args[2]), Integer.parseInt(args[3])); break;
      default: throw new IllegalArgumentException(args[1]);
    }
    System.out.println("ok");
    System.exit(0);
  }

  private static byte pattern(long offset) { return (byte) (offset * 31 + (offset >> 8)); }

  private static byte[] bytes(long from, int count) {
    byte[] data = new byte[count];
    for (int i = 0; i < count; i++) data[i] = pattern(from + i);
    return data;
  }

  private static void equal(Object found, Object wanted, String what) {
    if (!found.equals(wanted)) throw new AssertionError(what + ": found " + found + ", wanted " + wanted);
  }

  private static void check(Path path, long length) throws IOException {
    equal(fs.getFileStatus(path).getLen(), length, path + " length");
    equal(visible(path), length, path + " bytes to read");
  }

  /** Reads a file to its end, checks every byte, and returns how many there were. */
  private static long visible(Path path) throws IOException {
    try (FSDataInputStream in = fs.open(path)) {
      byte[] buffer = new byte[65536];
      long offset = 0;
      for (int count; (count = in.read(buffer)) >= 0; ) {
        for (int i = 0; i < count; i++, offset++) {
          if (buffer[i] != pattern(offset)) throw new AssertionError(path + " differs at " + offset);
        }
      }
      return offset;
    }
  }

  private static FSDataOutputStream create(Path path, long blockSize) throws IOException {
    return fs.create(path, true, 4096, (short) 3, blockSize);
  }

  private static void write(Path path, int count) throws IOException {
    try (FSDataOutputStream out = create(path, 1 << 20)) { out.write(bytes(0, count)); }
  }

  private static void append(Path path, int count) throws IOException {
    long from = fs.getFileStatus(path).getLen();
    try (FSDataOutputStream out = fs.append(path)) { out.write(bytes(from, count)); }
    check(path, from + count);
  }

  private interface Action { void run() throws Exception; }

  private static void refused(String javaClass, Action action) throws Exception {
    String found = "success";
    try { action.run(); } catch (RemoteException e) { found = e.getClassName(); }
    catch (IOException e) { found = e.getClass().getName(); }
    equal(found.substring(found.lastIndexOf('.') + 1), javaClass, "refusal");
  }

  private static boolean closed(Path path) throws Exception {
    for (int i = 0; i < 600; i++) {
      if (fs.isFileClosed(path)) return true;
      Thread.sleep(100);
    }
    return false;
  }

  private static void truncate(Path path, long length, boolean atOnce) throws Exception {
    equal(fs.truncate(path, length), atOnce, "truncate to " + length);
    equal(closed(path), true, path + " closed");
    check(path, length);
  }

  private static void suite(Configuration conf) throws Exception {
    fs.mkdirs(new Path("/w"));
    appends();
    truncates(conf);
    concats();
  }

  private static void appends() throws Exception {
    Path f = new Path("/w/append");
    write(f, 4027);
    try (FSDataOutputStream out = fs.append(f)) {
      equal(out.getPos(), 4027L, "position of an append");
      out.write(bytes(4027, 700));
      out.hflush();
      equal(visible(f), 4727L, "flushed bytes");
      out.write(bytes(4727, 5));
      out.hsync();
      equal(visible(f), 4732L, "synced bytes");
      refused("AlreadyBeingCreatedException", () -> fs.append(f));
      ((HdfsDataOutputStream) out).hsync(EnumSet.of(HdfsDataOutputStream.SyncFlag.UPDATE_LENGTH));
      equal(fs.getFileStatus(f).getLen(), 4732L, "length told to the namenode");
    }
    check(f, 4732);
    for (int count : new int[] {1, 387, 512, 513, 100_000, 1 << 20, 3}) append(f, count);
    Path copy = new Path("/w/whole");
    write(copy, (int) fs.getFileStatus(f).getLen());
    equal(fs.getFileChecksum(f), fs.getFileChecksum(copy), "checksum of appended and whole file");
    Path empty = new Path("/w/empty");
    write(empty, 0);
    append(empty, 10);
    Path full = new Path("/w/full");
    write(full, 1 << 20);
    append(full, 10);
    append(full, 10);
    equal(fs.getFileBlockLocations(full, 0, 1L << 40).length, 2, "blocks of a filled file");
    Path fresh = new Path("/w/new-block");
    write(fresh, 100);
    EnumSet<CreateFlag> flags = EnumSet.of(CreateFlag.APPEND, CreateFlag.NEW_BLOCK);
    try (FSDataOutputStream out = fs.append(fresh, flags, 4096, null)) { out.write(bytes(100, 50)); }
    check(fresh, 150);
    equal(fs.getFileBlockLocations(fresh, 0, 1L << 40).length, 2, "blocks after NEW_BLOCK");
    refused("FileNotFoundException", () -> fs.append(new Path("/w/none")));
    refused("FileAlreadyExistsException", () -> fs.append(new Path("/w")));
  }

  private static void truncates(Configuration conf) throws Exception {
    Path f = new Path("/w/truncate");
    write(f, (2 << 20) + 4732);
    refused("HadoopIllegalArgumentException", () -> fs.truncate(f, (2 << 20) + 4733));
    truncate(f, (2 << 20) + 4732, true);
    truncate(f, (2 << 20) + 1234, false);
    truncate(f, (2 << 20) + 1024, false);
    append(f, 3000);
    truncate(f, 1 << 20, true);
    append(f, 77);
    truncate(f, 700_001, false);
    append(f, 500_000);
    truncate(f, 1, false);
    truncate(f, 0, true);
    append(f, 20);
    try (FSDataOutputStream out = fs.append(f)) {
      refused("AlreadyBeingCreatedException", () -> fs.truncate(f, 3));
    }
    refused("FileNotFoundException", () -> fs.truncate(new Path("/w/none"), 3));
  }

  private static void concats() throws Exception {
    Path target = new Path("/w/target");
    write(target, 100);
    Path[] sources = {new Path("/w/part-1"), new Path("/w/part-2")};
    long end = 100;
    for (Path source : sources) {
      try (FSDataOutputStream out = create(source, 1 << 20)) { out.write(bytes(end, (1 << 20) + 300)); }
      end += (1 << 20) + 300;
    }
    fs.concat(target, sources);
    check(target, end);
    equal(fs.exists(sources[0]) || fs.exists(sources[1]), false, "sources left");
    try (FSDataInputStream in = fs.open(target)) {
      byte[] middle = new byte[1000];
      in.readFully((1 << 20) + 50, middle);
      equal(middle[0], pattern((1 << 20) + 50), "positional read across a short block");
    }
    append(target, 5);
    write(new Path("/w/other"), 10);
    fs.mkdirs(new Path("/v"));
    write(new Path("/v/elsewhere"), 10);
    Path other = new Path("/w/other");
    String illegal = "HadoopIllegalArgumentException";
    refused(illegal, () -> fs.concat(target, new Path[] {new Path("/v/elsewhere")}));
    refused(illegal, () -> fs.concat(target, new Path[] {other, other}));
    refused(illegal, () -> fs.concat(target, new Path[] {target}));
    refused("FileNotFoundException", () -> fs.concat(target, new Path[] {new Path("/w/none")}));
  }

  private static void hold(Path path, int count) throws Exception {
    FSDataOutputStream out = fs.exists(path) ? fs.append(path) : create(path, 1 << 20);
    long from = out.getPos();
    out.write(bytes(from, count));
    out.hflush();
    System.out.println("flushed " + (from + count));
    Thread.sleep(600_000);
  }

  private static void grow(Path path, int count, int times) throws Exception {
    try (FSDataOutputStream out = create(path, 1 << 20)) {
      for (int i = 0; i < times; i++) {
        out.write(bytes((long) i * count, count));
        // -tail -f starts over from the length that the namenode knows, whatever it has read beyond.
        ((HdfsDataOutputStream) out).hsync(EnumSet.of(HdfsDataOutputStream.SyncFlag.UPDATE_LENGTH));
        System.out.println("grown " + (i + 1));
        Thread.sleep(20);
      }
    }
    check(path, (long) count * times);
  }

  private static void recover(Path path, int flushed) throws Exception {
    boolean isClosed = fs.recoverLease(path);
    for (int i = 0; i < 600 && !isClosed; i++) {
      Thread.sleep(100);
      isClosed = fs.isFileClosed(path);
    }
    equal(isClosed, true, path + " closed after recoverLease");
    long length = fs.getFileStatus(path).getLen();
    if (length < flushed) throw new AssertionError(length + " bytes are left of " + flushed);
    equal(visible(path), length, "bytes after the recovery");
    append(path, 1000);
  }
}
