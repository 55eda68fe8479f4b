package shop;

public record OrderCancelled(String id, String reason) {}
